/*
 * Kernel and user program in one page each, for pvm-entry.test.ts: enters CPL 3, comes back by
 * system calls, page faults and INT n, and counts what arrived where. The test loads it at
 * 0x10000, has set up GDT, TSS (RSP0) and page tables, and reads `counts` afterwards.
 */
.code64
.org 0
start:
        lidt idt1_pointer(%rip)
        mov $0xc0000081, %ecx
        xor %eax, %eax
        mov $0x00230010, %edx
        wrmsr
        call write_lstar
        mov $0xc0000084, %ecx
        mov fmask(%rip), %eax
        xor %edx, %edx
        wrmsr
        pushq $0x2b
        pushq $0x60000
        pushq $0x3202
        pushq $0x33
        lea user(%rip), %rax
        push %rax
        iretq

write_lstar:
        mov $0xc0000082, %ecx
        lea sysentry(%rip), %rax
        xor %edx, %edx
        wrmsr
        ret

/* System calls: rax 1 counts, 2 loads the second IDT and writes LSTAR, 3 checks r15 == rsp. */
sysentry:
        mov %cs, %r13d
        mov %ss, %r14d
        cmp $0x10, %r13d
        jne bad
        cmp $0x18, %r14d
        jne bad
        incq counts + 0(%rip)
        cmp $2, %eax
        jne 1f
        mov %rcx, %r12
        lidt idt2_pointer(%rip)
        call write_lstar
        mov %r12, %rcx
1:      cmp $3, %eax
        jne 2f
        cmp %r15, %rsp
        jne bad
2:      sysretq

bad:    movb $0xee, %al
        out %al, $0xe9
        hlt

/* Page faults continue at the address in rbx; both handlers count for themselves. */
pf1:    endbr64
        incq counts + 8(%rip)
        jmp pf_common
pf2:    push %rax
        pop %rax
        incq counts + 16(%rip)
pf_common:
        mov %cr2, %rdi
        mov (%rsp), %rsi
        mov %rbx, 8(%rsp)
        add $8, %rsp
        iretq

ud:     incq counts + 24(%rip)
        mov %rbx, (%rsp)
        iretq

int80:  incq counts + 32(%rip)
        mov (%rsp), %rdi
        iretq

gp:     cmpq $0x10a, (%rsp)
        jne other
        incq counts + 40(%rip)
        add $8, %rsp
        mov %rbx, (%rsp)
        iretq
other:  movb $0xef, %al
        out %al, $0xe9
        hlt

.org 0x1000
user:
        mov $20, %ebp
1:      mov $1, %eax
        syscall
        dec %ebp
        jnz 1b
        mov $3, %eax
        mov %rsp, %r15
        syscall

        /* A page fault on data. */
        lea 2f(%rip), %rbx
        mov 0x300000, %rax
2:      cmp $0x300000, %rdi
        jne user_bad
        cmp $4, %rsi
        jne user_bad

        /* A jump to the entry point is a page fault, whatever RCX and R11 say. */
        lea 3f(%rip), %rbx
        mov $1, %eax
        lea user(%rip), %rcx
        mov $0x3202, %r11d
        lea sysentry(%rip), %rdx
        jmp *%rdx
3:      cmp %rdx, %rdi
        jne user_bad
        /* The same with RCX behind a SYSCALL and R11 asking for IOPL 3. */
        lea 4f(%rip), %rbx
        lea after_syscall(%rip), %rcx
        mov $0x3202, %r11d
        jmp *%rdx
4:
        /* INT 0x80 has a gate of DPL 3; INT 0x21 one of DPL 0; UD2 is neither. */
        xor %edi, %edi
        int $0x80
5:      lea 5b(%rip), %rsi
        cmp %rsi, %rdi
        jne user_bad
        lea 6f(%rip), %rbx
        ud2
6:      lea 7f(%rip), %rbx
        int $0x21
7:
        mov $2, %eax
        syscall
after_syscall:
        mov $20, %ebp
8:      mov $1, %eax
        syscall
        lea 9f(%rip), %rbx
        mov 0x300000, %rax
9:      dec %ebp
        jnz 8b
        mov $0xaa, %al
        out %al, $0xe9
        jmp .
user_bad:
        mov $0xed, %al
        out %al, $0xe9
        jmp .

.org 0x1800
counts: .quad 0, 0, 0, 0, 0, 0
fmask:  .quad 0x47700
handlers:
        .quad pf1, pf2, ud, int80, gp, other
.org 0x1900
idt1_pointer:
        .word 4095
        .quad 0x12000
idt2_pointer:
        .word 4095
        .quad 0x13000
.org 0x2000
