/*
 * Programs that keep AVX and AVX-512 registers over task switches, for linux-vector.test.ts. Uses
 * what the processor says a program may use, as the C library does. Status 0: nothing was lost.
 */
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROGRAMS 3
#define ROUNDS 40

static int keeps_ymm(const unsigned char *in, unsigned char *out) {
    long ignored;

    asm volatile("vmovdqu %[in], %%ymm15\n\t"
                 "syscall\n\t"
                 "vmovdqu %%ymm15, %[out]"
                 : [out] "=m"(*(unsigned char(*)[32])out), "=a"(ignored)
                 : [in] "m"(*(const unsigned char(*)[32])in), "a"(SYS_sched_yield)
                 : "rcx", "r11", "xmm15", "memory");
    return memcmp(in, out, 32) == 0;
}

__attribute__((target("avx512f"))) static int keeps_zmm(const unsigned char *in,
                                                        unsigned char *out) {
    unsigned mask_in = in[0] * 0x101u, mask_out;
    long ignored;

    asm volatile("vmovdqu64 %[in], %%zmm1\n\t"
                 "vmovdqu64 %[in], %%zmm31\n\t"
                 "kmovw %[mask_in], %%k7\n\t"
                 "syscall\n\t"
                 "vpxorq %%zmm1, %%zmm31, %%zmm1\n\t"
                 "vporq %%zmm1, %%zmm31, %%zmm31\n\t"
                 "vmovdqu64 %%zmm31, %[out]\n\t"
                 "kmovw %%k7, %[mask_out]"
                 : [out] "=m"(*(unsigned char(*)[64])out), [mask_out] "=&r"(mask_out), "=a"(ignored)
                 : [in] "m"(*(const unsigned char(*)[64])in), [mask_in] "r"(mask_in),
                   "a"(SYS_sched_yield)
                 : "rcx", "r11", "xmm1", "memory");
    return memcmp(in, out, 64) == 0 && mask_in == mask_out;
}

static int program(int number, int have_zmm) {
    unsigned char in[64], out[64];
    int lost = 0;

    memset(in, number, sizeof in);
    for (int i = 0; i < ROUNDS; i++) {
        if (!keeps_ymm(in, out)) lost++;
        if (have_zmm && !keeps_zmm(in, out)) lost++;
    }
    if (lost) printf("program %d lost its registers %d times\n", number, lost);
    fflush(stdout);
    return lost != 0;
}

int main(void) {
    int have_zmm = __builtin_cpu_supports("avx512f") != 0, status, failed = 0, ended = 0;

    if (!__builtin_cpu_supports("avx")) {
        puts("no AVX");
        return 0;
    }
    printf("AVX%s\n", have_zmm ? " and AVX-512" : "");
    fflush(stdout);
    for (int i = 1; i <= PROGRAMS; i++)
        if (fork() == 0) _exit(program(i, have_zmm));
    for (; wait(&status) > 0; ended++) failed += status != 0;
    printf("%d of %d programs kept their registers\n", ended - failed, PROGRAMS);
    return failed != 0 || ended != PROGRAMS;
}
