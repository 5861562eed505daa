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
        "src/batch.c",
        "src/buf.c",
        "src/chunk.c",
        "src/client.c",
        "src/clock.c",
        "src/config.c",
        "src/dead.c",
        "src/engine.c",
        "src/event.c",
        "src/gate.c",
        "src/histogram.c",
        "src/http_headers.c",
        "src/json.c",
        "src/lane.c",
        "src/ledger.c",
        "src/lua_batch.c",
        "src/lua_class.c",
        "src/lua_client.c",
        "src/lua_core.c",
        "src/lua_dead.c",
        "src/lua_event.c",
        "src/lua_json.c",
        "src/lua_parting.c",
        "src/lua_path.c",
        "src/lua_settings.c",
        "src/lua_stats.c",
        "src/lua_ticket.c",
        "src/nearest.c",
        "src/process.c",
        "src/queue.c",
        "src/rate.c",
        "src/registry.c",
        "src/report.c",
        "src/response.c",
        "src/retry.c",
        "src/sender.c",
        "src/sender_outcome.c",
        "src/sender_step.c",
        "src/sign.c",
        "src/skew.c",
        "src/spool_directory.c",
        "src/spool_file.c",
        "src/spool_lock.c",
        "src/spool_room.c",
        "src/spool_rows.c",
        "src/spool_salvage.c",
        "src/spool_sqlite.c",
        "src/status.c",
        "src/ticket.c",
        "src/transport_curl.c",
        "src/transport_curl_failure.c",
        "src/transport_curl_transfer.c",
        "src/trial.c",
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
    ["quickaudience.cli"] = "lua/quickaudience/cli.lua",
    ["quickaudience.cli.sandbox"] = "lua/quickaudience/cli/sandbox.lua",
    ["quickaudience.client"] = "lua/quickaudience/client.lua",
    ["quickaudience.config"] = "lua/quickaudience/config.lua",
    ["quickaudience.id_types"] = "lua/quickaudience/id_types.lua",
    quickaudience = "lua/quickaudience/init.lua",
    ["quickaudience.nginx"] = "lua/quickaudience/nginx.lua",
    ["quickaudience.nginx.figures"] = "lua/quickaudience/nginx/figures.lua",
    ["quickaudience.nginx.hook"] = "lua/quickaudience/nginx/hook.lua",
    ["quickaudience.nginx.settings"] = "lua/quickaudience/nginx/settings.lua",
    ["quickaudience.nginx.summary"] = "lua/quickaudience/nginx/summary.lua",
    ["quickaudience.prometheus"] = "lua/quickaudience/prometheus.lua",
    ["quickaudience.sandbox.conf"] = "lua/quickaudience/sandbox/conf.lua",
    ["quickaudience.sandbox.faults"] = "lua/quickaudience/sandbox/faults.lua",
    ["quickaudience.sandbox.launcher"] = "lua/quickaudience/sandbox/launcher.lua",
    ["quickaudience.sandbox.model"] = "lua/quickaudience/sandbox/model.lua",
    ["quickaudience.sandbox.multipart"] = "lua/quickaudience/sandbox/multipart.lua",
    ["quickaudience.sandbox.nearest"] = "lua/quickaudience/sandbox/nearest.lua",
    ["quickaudience.sandbox.nginx"] = "lua/quickaudience/sandbox/nginx.lua",
    ["quickaudience.sandbox.percent"] = "lua/quickaudience/sandbox/percent.lua",
    ["quickaudience.sandbox.service"] = "lua/quickaudience/sandbox/service.lua",
    ["quickaudience.sandbox.signature"] = "lua/quickaudience/sandbox/signature.lua",
    ["quickaudience.sandbox.store"] = "lua/quickaudience/sandbox/store.lua",
    ["quickaudience.url"] = "lua/quickaudience/url.lua",
    ["quickaudience.version"] = "lua/quickaudience/version.lua",
    ["quickaudience.wait"] = "lua/quickaudience/wait.lua",
  },
  install = {
    bin = { quickaudience = "lua/quickaudience/bin/quickaudience" },
  },
}
