/* Entered by the Linux 64-bit boot protocol: RSI = boot_params. Calls main(boot_params). */
    .text
    .globl _start
_start:
    lea stack_top(%rip), %rsp
    xor %ebp, %ebp
    mov %rsi, %rdi
    call main
    mov $0x604, %dx
    mov $0x2000, %ax
    out %ax, %dx
1:  cli
    hlt
    jmp 1b

    .bss
    .balign 16
    .skip 16384
stack_top:

    .section .note.GNU-stack, "", @progbits
