/* Multiboot 1 header and entry: main(EAX, EBX). */
    .section .multiboot, "a"
    .balign 4
    .long 0x1badb002, 0x3, -(0x1badb002 + 0x3)

    .text
    .code32
    .globl _start
_start:
    mov $stack_top, %esp
    push %ebx
    push %eax
    call main
1:  cli
    hlt
    jmp 1b

    .bss
    .balign 16
    .skip 16384
stack_top:

    .section .note.GNU-stack, "", @progbits
