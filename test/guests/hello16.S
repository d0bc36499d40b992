/* Real mode, flat: arithmetic, memory through two segments, string output. Linked at 0. */
    .code16
    .text
    .globl _start
_start:
    mov %cs, %ax
    mov %ax, %ds
    mov %ax, %es
    mov %ax, %ss
    mov $0xfff0, %sp
    cld

    mov $name_cs, %si
    call put
    mov %cs, %ax
    call put_hex

    /* 1 + 2 + ... + 100, in registers, then in memory. */
    xor %ax, %ax
    mov $100, %cx
1:  add %cx, %ax
    loop 1b
    mov %ax, sum
    mov $name_sum, %si
    call put
    call put_hex

    /* The same word seen from a segment that begins 256 bytes lower. */
    mov %ds, %bx
    sub $0x10, %bx
    mov %bx, %es
    mov %es:sum+0x100, %ax
    imul $3, %ax, %ax
    mov $name_alias, %si
    call put
    call put_hex

    mov $text, %si
    mov $text_end - text, %cx
    mov $0xe9, %dx
    rep outsb
    mov $0xe9, %dx
    in %dx, %al
    mov $name_e9, %si
    call put
    xor %ah, %ah
    call put_hex

    mov $0x604, %dx
    mov $0x2000, %ax
    out %ax, %dx
2:  cli
    hlt
    jmp 2b

put_char: /* AL */
    push %dx
    push %ax
    mov $0x3fd, %dx
3:  in %dx, %al
    test $0x20, %al
    jz 3b
    pop %ax
    mov $0x3f8, %dx
    out %al, %dx
    pop %dx
    ret

put: /* SI, ends with NUL */
    push %ax
4:  lodsb
    test %al, %al
    jz 5f
    call put_char
    jmp 4b
5:  pop %ax
    ret

put_hex: /* AX, four digits and a newline */
    push %ax
    push %cx
    mov %ax, %bx
    mov $4, %cx
6:  rol $4, %bx
    mov %bl, %al
    and $15, %al
    cmp $10, %al
    jb 7f
    add $'a' - '0' - 10, %al
7:  add $'0', %al
    call put_char
    loop 6b
    mov $'\n', %al
    call put_char
    pop %cx
    pop %ax
    ret

name_cs: .asciz "cs="
name_sum: .asciz "sum="
name_alias: .asciz "alias="
name_e9: .asciz "e9="
text: .ascii "string output\n"
text_end:
    .balign 2
sum: .word 0
