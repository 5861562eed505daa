--- id_types.lua
-- The preset codes of customer id types, each with what it stands for.
-- Does not know a tenant's own types: every code is passed through as it is.
-- SPDX-License-Identifier: MIT

-- The codes are documented; whether the service tells upper from lower case is unknown.
return {
  ONEID = "the service's own unified id",
  MAISCRM_ID = "MaisCRM member id",
  MOBILE = "mobile phone number",
  TAOBAO_ID = "Taobao user id",
  ALIPAY_ID = "Alipay user id",
  UMENG_ID = "Umeng device id",
  UNION_ID = "WeChat union id, one for all apps of a vendor",
  OPEN_ID = "WeChat open id, one for each app",
  EMAIL = "e-mail address",
  WEIBO_ID_ORG = "Weibo user id",
  IDFA = "Apple's advertising id",
  OAID = "Android's open anonymous device id",
  IMEI = "mobile device number",
  IMSI = "SIM card number",
  MAC_ORG = "network adapter address",
  TAOBAO_NICK = "Taobao nickname",
  OUID = "Taobao open user id",
}
