// Ping sockets, which Node.js has no way to open.
#include <cerrno>

#include <netinet/in.h>
#include <sys/socket.h>

#include "binding.h"

namespace vexit {

// pingSocket(ipv4): a datagram socket of ICMP or ICMPv6, see icmp(7).
static Napi::Value PingSocket(const Napi::CallbackInfo &info) {
    Napi::Env env = info.Env();
    if (info.Length() < 1 || !info[0].IsBoolean()) return ThrowArgument(env, "pingSocket(ipv4)");
    bool ipv4 = info[0].As<Napi::Boolean>();
    int type = SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK;
    int fd = ipv4 ? socket(AF_INET, type, IPPROTO_ICMP) : socket(AF_INET6, type, IPPROTO_ICMPV6);
    if (fd < 0) return ThrowErrno(env, errno, "socket");
    return Napi::Number::New(env, fd);
}

void InitPing(Napi::Env env, Napi::Object exports) {
    exports.Set("pingSocket", Napi::Function::New(env, PingSocket, "pingSocket"));
}

} // namespace vexit
