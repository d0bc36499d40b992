/* PVH entry (32-bit, EBX = hvm_start_info), then long mode and main(start info). */
    .section .note.Xen, "a", @note
    .long 4, 4, 18
    .asciz "Xen"
    .long pvh_entry

    .text
    .code32
    .globl _start
_start:
pvh_entry:
    mov $stack_top, %esp
    mov $page_directory, %edi
    mov $0x83, %eax
    mov $512, %ecx
1:  mov %eax, (%edi)
    movl $0, 4(%edi)
    add $0x200000, %eax
    add $8, %edi
    loop 1b
    movl $page_directory + 3, page_pointers
    movl $page_pointers + 3, page_map
    mov $page_map, %eax
    mov %eax, %cr3
    mov %cr4, %eax
    or $0x20, %eax
    mov %eax, %cr4
    mov $0xc0000080, %ecx
    rdmsr
    or $0x100, %eax
    wrmsr
    mov %cr0, %eax
    or $0x80000000, %eax
    mov %eax, %cr0
    lgdt gdt_pointer
    ljmp $8, $long_mode

    .code64
long_mode:
    mov $16, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov %ebx, %edi
    call main
2:  cli
    hlt
    jmp 2b

    .data
    .balign 8
gdt: .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff
gdt_pointer: .word 23
    .quad gdt

    .bss
    .balign 4096
page_map: .skip 4096
page_pointers: .skip 4096
page_directory: .skip 4096
    .skip 16384
stack_top:

    .section .note.GNU-stack, "", @progbits
