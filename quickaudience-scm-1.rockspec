package = "quickaudience"
version = "scm-1"

source = {
  url = "git+https://github.com/quickaudience/quickaudience.git",
}

description = {
  summary = "Reports events to Alibaba Quick Audience without blocking or losing them",
  detailed = [[
A client for request hooks, game servers and scripts: report() costs about a microsecond,
and from then on the event is delivered, kept on disk, or set aside with a reason.
]],
  homepage = "https://github.com/quickaudience/quickaudience",
  license = "MIT",
}

dependencies = {
  "lua >= 5.1, < 5.5",
  "lua-cjson >= 2.1",
  "argparse >= 0.7",
}

external_dependencies = {
  CURL = { library = "curl" },
  CRYPTO = { header = "openssl/evp.h" },
  JANSSON = { header = "jansson.h" },
  SQLITE = { header = "sqlite3.h" },
}

build = {
  type = "builtin",
  modules = {
    ["quickaudience.core"] = {
      sources = {
        "src/buf.c",
        "src/dead.c",
        "src/event.c",
        "src/histogram.c",
        "src/http_headers.c",
        "src/json.c",
        "src/lua_core.c",
        "src/lua_event.c",
        "src/lua_json.c",
        "src/lua_path.c",
        "src/nearest.c",
        "src/report.c",
        "src/response.c",
        "src/retry.c",
        "src/sign.c",
        "src/status.c",
        "src/transport_curl.c",
        "src/transport_curl_failure.c",
        "src/transport_curl_transfer.c",
      },
      defines = { "_GNU_SOURCE" },
      incdirs = {
        "$(CURL_INCDIR)", "$(CRYPTO_INCDIR)", "$(JANSSON_INCDIR)", "$(SQLITE_INCDIR)",
      },
      libdirs = {
        "$(CURL_LIBDIR)", "$(CRYPTO_LIBDIR)", "$(JANSSON_LIBDIR)", "$(SQLITE_LIBDIR)",
      },
      libraries = { "curl", "crypto", "jansson", "sqlite3", "pthread", "dl" },
    },
    ["quickaudience.sandbox.faults"] = "lua/quickaudience/sandbox/faults.lua",
    ["quickaudience.sandbox.model"] = "lua/quickaudience/sandbox/model.lua",
    ["quickaudience.sandbox.multipart"] = "lua/quickaudience/sandbox/multipart.lua",
    ["quickaudience.sandbox.nearest"] = "lua/quickaudience/sandbox/nearest.lua",
    ["quickaudience.sandbox.percent"] = "lua/quickaudience/sandbox/percent.lua",
    ["quickaudience.sandbox.signature"] = "lua/quickaudience/sandbox/signature.lua",
    ["quickaudience.sandbox.store"] = "lua/quickaudience/sandbox/store.lua",
    ["quickaudience.version"] = "lua/quickaudience/version.lua",
  },
  install = {
    bin = { quickaudience = "lua/quickaudience/bin/quickaudience" },
  },
}
