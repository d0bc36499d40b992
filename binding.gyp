{
  "targets": [
    {
      "target_name": "vexit",
      "sources": [
        "native/kvm_abi.c",
        "native/guest_memory.c",
        "native/vcpu.c",
        "native/ring.c",
        "native/uring.c",
        "native/io_pool.c",
        "native/io_pool_queue.c",
        "native/io_pool_threads.c",
        "native/io_request.c",
        "native/tap.c",
        "native/tap_queues.c",
        "native/fs.c",
        "native/packet.c",
        "native/addon.cc",
        "native/bind_kvm.cc",
        "native/bind_memory.cc",
        "native/bind_vcpu.cc",
        "native/bind_event.cc",
        "native/bind_ring.cc",
        "native/bind_file.cc",
        "native/bind_thread.cc",
        "native/bind_tap.cc",
        "native/bind_ping.cc",
        "native/bind_fs.cc",
        "native/bind_fs_names.cc",
        "native/bind_fs_attributes.cc",
        "native/bind_fs_files.cc",
        "native/bind_packet.cc"
      ],
      "dependencies": ["<!(node -p \"require('node-addon-api').targets\"):node_addon_api"],
      "defines": [
        "NAPI_VERSION=8",
        "NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS",
        "NODE_ADDON_API_DISABLE_DEPRECATED",
        "_GNU_SOURCE",
        "_FILE_OFFSET_BITS=64"
      ],
      "cflags": [
        "-Wall",
        "-Wextra",
        "-Werror",
        "-Wno-unused-parameter",
        "-Werror=format-security",
        "-fvisibility=hidden",
        "-fstack-protector-strong",
        "-fstack-clash-protection",
        "-fcf-protection",
        "-O2",
        "-U_FORTIFY_SOURCE",
        "-D_FORTIFY_SOURCE=2"
      ],
      "cflags_c": ["-std=gnu11"],
      "cflags_cc!": ["-std=gnu++20"],
      "cflags_cc": ["-std=gnu++17", "-fvisibility-inlines-hidden"],
      # A worker that loaded the addon alone would unload it at its end: under the feet of threads of
      # the I/O pool, and of libuv, which still has handles to close.
      "ldflags": [
        "-Wl,-z,nodelete",
        "-Wl,-z,relro",
        "-Wl,-z,now",
        "-Wl,-z,noexecstack",
        "-Wl,-Bsymbolic",
        "-Wl,--exclude-libs,ALL"
      ]
    }
  ]
}
