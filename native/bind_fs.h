// What the bindings of a shared directory have in common. They are made for every request of a
// guest, and many fail as a matter of course (a name that is not there), so they return a negative
// errno where others throw. Names are strings with one byte a character: a file name need not be
// UTF-8.
#ifndef VEXIT_BIND_FS_H
#define VEXIT_BIND_FS_H

#include <sys/types.h>

#include <climits>

#include "binding.h"

namespace vexit {

// A name as an argument. `status` is 0, or the negative errno of a string that is no name: too
// long, or with a NUL in it.
struct FsName {
    char bytes[PATH_MAX + 1];
    int status = 0;
};

// True when argument `index` is a string; what is wrong with it as a name is in its status.
bool ArgName(const Napi::CallbackInfo &info, size_t index, FsName *name);

// True when there are `count` integers from argument `first` on.
bool ArgInts(const Napi::CallbackInfo &info, size_t first, int64_t *out, size_t count);

// True when argument `index` is an integer that fits an int.
bool ArgFd(const Napi::CallbackInfo &info, size_t index, int *fd);

// True when argument `index` is a view over at least `count` doubles.
bool ArgFields(const Napi::CallbackInfo &info, size_t index, size_t count, double **out);

Napi::Value FsResult(const Napi::CallbackInfo &info, int64_t result);

// The same for the result of a system call: a negative one becomes its errno.
Napi::Value FsErrno(const Napi::CallbackInfo &info, ssize_t result);

void FsExport(Napi::Object exports, const char *name,
              Napi::Value (*function)(const Napi::CallbackInfo &info));

void InitFsNames(Napi::Object exports);
void InitFsAttributes(Napi::Object exports);
void InitFsFiles(Napi::Object exports);

} // namespace vexit

#endif
