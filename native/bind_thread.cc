// Which processors a thread may run on.
#include <sched.h>

#include <cerrno>

#include "binding.h"

namespace vexit {

// threadAffinity(tid, cpus): sched_setaffinity; cpus is an array of processor numbers.
static Napi::Value ThreadAffinity(const Napi::CallbackInfo &info) {
    Napi::Env env = info.Env();
    int64_t tid = -1;
    if (!ArgInt(info, 0, &tid) || tid < 0 || info.Length() < 2 || !info[1].IsArray())
        return ThrowArgument(env, "threadAffinity(tid, cpus)");
    Napi::Array cpus = info[1].As<Napi::Array>();
    cpu_set_t set;
    CPU_ZERO(&set);
    for (uint32_t i = 0; i < cpus.Length(); i++) {
        Napi::Value item = cpus[i];
        if (!item.IsNumber()) return ThrowArgument(env, "threadAffinity(tid, cpus)");
        int64_t cpu = item.As<Napi::Number>().Int64Value();
        if (cpu < 0 || cpu >= CPU_SETSIZE) return ThrowErrno(env, EINVAL, "sched_setaffinity");
        CPU_SET(static_cast<size_t>(cpu), &set);
    }
    if (sched_setaffinity(static_cast<pid_t>(tid), sizeof(set), &set) < 0)
        return ThrowErrno(env, errno, "sched_setaffinity");
    return env.Undefined();
}

void InitThread(Napi::Env env, Napi::Object exports) {
    exports.Set("threadAffinity", Napi::Function::New(env, ThreadAffinity, "threadAffinity"));
}

} // namespace vexit
