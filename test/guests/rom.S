/*
 * A firmware ROM of 64 KiB, entered at the reset vector. Writes to the ROM below 4 GiB must do
 * nothing; the copy below 1 MiB is shadow RAM. Reports through port 0x402.
 */
    .code16
    .text
    .globl _start
_start:
marker: .byte 0x5a
marker2: .byte 0xa5

reset: /* CS base 0xffff0000 */
    movb $0x11, %cs:marker
    mov %cs:marker, %bl
    ljmp $0xf000, $low

low: /* CS base 0xf0000: the shadow */
    mov %cs, %ax
    mov %ax, %ds
    xor %ax, %ax
    mov %ax, %ss
    mov $0x7000, %sp
    cld
    mov $name_rom, %si
    mov %bl, %al
    call report
    mov $name_before, %si
    mov marker, %al
    call report

    /* A flat data segment, then back to real mode with its limit of 4 GiB kept. */
    cli
    lgdtl gdt_pointer
    mov %cr0, %eax
    or $1, %al
    mov %eax, %cr0
    mov $8, %cx
    mov %cx, %fs
    mov %cx, %gs
    and $0xfe, %al
    mov %eax, %cr0

    /* All 64 KiB of ROM and shadow are equal. */
    mov $0xffff0000, %esi
    mov $0x000f0000, %edi
    mov $0x4000, %ecx
    xor %ebx, %ebx
1:  mov %fs:(%esi), %eax
    cmp %fs:(%edi), %eax
    je 2f
    inc %bl
2:  add $4, %esi
    add $4, %edi
    dec %ecx
    jnz 1b
    mov $name_differences, %si
    mov %bl, %al
    call report

    /* Widths 1, 2 and 4 into the ROM. */
    mov $0xffff0000, %esi
    movb $0x22, %fs:1(%esi)
    movw $0x2222, %fs:(%esi)
    movl $0x22222222, %fs:(%esi)
    mov %fs:1(%esi), %al
    mov $name_rom2, %si
    call report
    movb $0x33, marker2
    mov marker2, %al
    mov $name_shadow, %si
    call report

    mov $0x604, %dx
    mov $0x2000, %ax
    out %ax, %dx
3:  hlt
    jmp 3b

report: /* SI: name, AL: value */
    push %dx
    push %ax
    mov $0x402, %dx
4:  lodsb
    test %al, %al
    jz 5f
    out %al, %dx
    jmp 4b
5:  pop %ax
    mov %al, %ah
    shr $4, %al
    call digit
    mov %ah, %al
    call digit
    mov $'\n', %al
    out %al, %dx
    pop %dx
    ret
digit:
    and $15, %al
    cmp $10, %al
    jb 6f
    add $'a' - '0' - 10, %al
6:  add $'0', %al
    out %al, %dx
    ret

name_rom: .asciz "rom="
name_before: .asciz "before="
name_differences: .asciz "differences="
name_rom2: .asciz "rom2="
name_shadow: .asciz "shadow="
    .balign 8
gdt: .quad 0, 0x00cf93000000ffff
gdt_pointer: .word 15
    .long 0xf0000 + gdt

    .org 0xfff0
    jmp reset
    .org 0x10000
