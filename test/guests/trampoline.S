/* Where application processors begin: copied to 0x8000, real mode, then long mode and ap_main(APIC id). */
    .text
    .code16
    .globl trampoline, trampoline_end
trampoline:
    cli
    xor %ax, %ax
    mov %ax, %ds
    lgdtl 0x8000 + gdt_pointer - trampoline
    mov %cr0, %eax
    or $1, %eax
    mov %eax, %cr0
    ljmpl $0x28, $0x8000 + protected - trampoline

    .code32
protected:
    mov $0x18, %eax
    mov %eax, %ds
    mov %eax, %ss
    mov %cr4, %eax
    or $0x20, %eax
    mov %eax, %cr4
    mov 0x8000 + page_map - trampoline, %eax
    mov %eax, %cr3
    mov $0xc0000080, %ecx
    rdmsr
    or $0x100, %eax
    wrmsr
    mov %cr0, %eax
    or $0x80000000, %eax
    mov %eax, %cr0
    ljmpl $0x10, $0x8000 + long_mode - trampoline

    .code64
long_mode:
    mov $0x18, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov $0xfee00020, %eax
    mov (%rax), %edi
    shr $24, %edi
    mov %edi, %eax
    inc %eax
    shl $12, %eax
    lea stacks, %rsp
    add %rax, %rsp
    mov $ap_main, %rax
    jmp *%rax

    .balign 8
gdt: .quad 0, 0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0, 0x00cf9b000000ffff
gdt_pointer: .word 47
    .long 0x8000 + gdt - trampoline
    .globl trampoline_page_map
trampoline_page_map:
page_map: .long 0
trampoline_end:

    .bss
    .balign 4096
stacks: .skip 32 * 4096

    .section .note.GNU-stack, "", @progbits
