/* lua_settings.h
 * Reads the checked settings that config.lua hands down into the core's configuration.
 * Does not know defaults or ranges; those stand in lua/quickaudience/config.lua.
 * SPDX-License-Identifier: MIT */
#ifndef QA_LUA_SETTINGS_H
#define QA_LUA_SETTINGS_H

#include "config.h"
#include "lua_compat.h"

enum { QA_LUA_ERROR_CODES_MAX = 256 };

/* Fills `out` from the table at `index`. Strings and `rules` (QA_LUA_ERROR_CODES_MAX of them) are
 * borrowed: they last as long as the table. Raises for a setting of a wrong type, which config.lua
 * lets nobody give. */
void qa_lua_settings(lua_State *L, int index, qa_client_config *out, qa_error_code_rule *rules);

#endif
