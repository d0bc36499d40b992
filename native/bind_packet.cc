// Packet sockets between processes for TypeScript.
#include <cerrno>
#include <string>

#include "binding.h"
#include "packet.h"

namespace vexit {

static bool ArgPath(const Napi::CallbackInfo &info, std::string *path) {
    if (info.Length() < 1 || !info[0].IsString()) return false;
    *path = info[0].As<Napi::String>();
    return path->find('\0') == std::string::npos;
}

// packetListen(path, backlog): a descriptor.
static Napi::Value PacketListen(const Napi::CallbackInfo &info) {
    std::string path;
    int64_t backlog = 0;
    if (!ArgPath(info, &path) || !ArgInt(info, 1, &backlog))
        return ThrowArgument(info.Env(), "packetListen(path, backlog)");
    const char *failed = nullptr;
    int fd = vx_packet_listen(path.c_str(), static_cast<int>(backlog), &failed);
    if (fd < 0) return ThrowErrno(info.Env(), -fd, failed);
    return Napi::Number::New(info.Env(), fd);
}

// packetAccept(fd): a descriptor, or -EAGAIN and other negative errnos.
static Napi::Value PacketAccept(const Napi::CallbackInfo &info) {
    int64_t fd = -1;
    if (!ArgInt(info, 0, &fd)) return ThrowArgument(info.Env(), "packetAccept(fd)");
    return Napi::Number::New(info.Env(), vx_packet_accept(static_cast<int>(fd)));
}

// packetConnect(path, sendBuffer): a descriptor.
static Napi::Value PacketConnect(const Napi::CallbackInfo &info) {
    std::string path;
    int64_t send_buffer = 0;
    if (!ArgPath(info, &path) || !ArgInt(info, 1, &send_buffer))
        return ThrowArgument(info.Env(), "packetConnect(path, sendBuffer)");
    const char *failed = nullptr;
    int fd = vx_packet_connect(path.c_str(), static_cast<int>(send_buffer), &failed);
    if (fd < 0) return ThrowErrno(info.Env(), -fd, failed);
    return Napi::Number::New(info.Env(), fd);
}

// packetPeerUser(fd): the user id of the process at the other end.
static Napi::Value PacketPeerUser(const Napi::CallbackInfo &info) {
    int64_t fd = -1;
    if (!ArgInt(info, 0, &fd)) return ThrowArgument(info.Env(), "packetPeerUser(fd)");
    int64_t user = vx_packet_peer_user(static_cast<int>(fd));
    if (user < 0) return ThrowErrno(info.Env(), static_cast<int>(-user), "getsockopt");
    return Napi::Number::New(info.Env(), static_cast<double>(user));
}

// packetSend(fd, bytes): 0 or a negative errno.
static Napi::Value PacketSend(const Napi::CallbackInfo &info) {
    int64_t fd = -1;
    uint8_t *bytes = nullptr;
    size_t length = 0;
    if (!ArgInt(info, 0, &fd) || !ArgBytes(info, 1, &bytes, &length))
        return ThrowArgument(info.Env(), "packetSend(fd, bytes)");
    return Napi::Number::New(info.Env(), vx_packet_send(static_cast<int>(fd), bytes, length));
}

// packetSendBatch(fd, batch, numbers, from, count): how many were sent, or a negative errno.
static Napi::Value PacketSendBatch(const Napi::CallbackInfo &info) {
    int64_t fd = -1, from = 0, count = 0;
    uint8_t *batch = nullptr, *numbers = nullptr;
    size_t batch_length = 0, numbers_length = 0;
    if (!ArgInt(info, 0, &fd) || !ArgBytes(info, 1, &batch, &batch_length) ||
        !ArgBytes(info, 2, &numbers, &numbers_length) || !ArgInt(info, 3, &from) ||
        !ArgInt(info, 4, &count) || from < 0 || count < 0 ||
        static_cast<size_t>(from) > numbers_length / 4 ||
        static_cast<size_t>(count) > numbers_length / 4 - static_cast<size_t>(from))
        return ThrowArgument(info.Env(), "packetSendBatch(fd, batch, numbers, from, count)");
    int result = vx_packet_send_batch(
        static_cast<int>(fd), reinterpret_cast<const vx_packet_batch *>(batch), batch_length,
        reinterpret_cast<const uint32_t *>(numbers) + from, static_cast<size_t>(count));
    return Napi::Number::New(info.Env(), result);
}

// packetCopy(batch, number, target): the packet's length.
static Napi::Value PacketCopy(const Napi::CallbackInfo &info) {
    int64_t number = -1;
    uint8_t *batch = nullptr, *target = nullptr;
    size_t batch_length = 0, room = 0;
    if (!ArgBytes(info, 0, &batch, &batch_length) || !ArgInt(info, 1, &number) || number < 0 ||
        !ArgBytes(info, 2, &target, &room))
        return ThrowArgument(info.Env(), "packetCopy(batch, number, target)");
    int64_t length = vx_packet_copy(reinterpret_cast<const vx_packet_batch *>(batch), batch_length,
                                    static_cast<uint32_t>(number), target, room);
    if (length < 0) return ThrowErrno(info.Env(), static_cast<int>(-length), "packetCopy");
    return Napi::Number::New(info.Env(), static_cast<double>(length));
}

// packetReceive(fd, slots, slotBytes, lengths): how many packets, or a negative errno. `lengths`
// has room for the length of one packet a slot, 32 bits each.
static Napi::Value PacketReceive(const Napi::CallbackInfo &info) {
    int64_t fd = -1, slot = 0;
    uint8_t *slots = nullptr, *lengths = nullptr;
    size_t slots_length = 0, lengths_length = 0;
    if (!ArgInt(info, 0, &fd) || !ArgBytes(info, 1, &slots, &slots_length) ||
        !ArgInt(info, 2, &slot) || slot < 1 || !ArgBytes(info, 3, &lengths, &lengths_length) ||
        slots_length / static_cast<size_t>(slot) < lengths_length / 4)
        return ThrowArgument(info.Env(), "packetReceive(fd, slots, slotBytes, lengths)");
    int received =
        vx_packet_receive(static_cast<int>(fd), slots, static_cast<size_t>(slot),
                          reinterpret_cast<uint32_t *>(lengths), lengths_length / sizeof(uint32_t));
    return Napi::Number::New(info.Env(), received);
}

void InitPacket(Napi::Env env, Napi::Object exports) {
    exports.Set("packetListen", Napi::Function::New(env, PacketListen, "packetListen"));
    exports.Set("packetAccept", Napi::Function::New(env, PacketAccept, "packetAccept"));
    exports.Set("packetConnect", Napi::Function::New(env, PacketConnect, "packetConnect"));
    exports.Set("packetPeerUser", Napi::Function::New(env, PacketPeerUser, "packetPeerUser"));
    exports.Set("packetSend", Napi::Function::New(env, PacketSend, "packetSend"));
    exports.Set("packetSendBatch", Napi::Function::New(env, PacketSendBatch, "packetSendBatch"));
    exports.Set("packetCopy", Napi::Function::New(env, PacketCopy, "packetCopy"));
    exports.Set("packetReceive", Napi::Function::New(env, PacketReceive, "packetReceive"));
}

} // namespace vexit
