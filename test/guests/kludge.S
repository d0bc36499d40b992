/* Multiboot without ELF: the header says the addresses. Linked at 1 MiB, with .bss behind the file. */
    .code32
    .text
    .globl _start
_start:
header:
    .long 0x1badb002, 0x10001, -(0x1badb002 + 0x10001)
    .long header, header, load_end, bss_end, entry

entry:
    mov $bss_end, %esp
    mov %eax, %esi
    cmp $0x2badb002, %esi
    jne 1f
    /* .bss is zero: sum of its first page. */
    mov $load_end, %edi
    mov $1024, %ecx
    xor %eax, %eax
2:  or (%edi), %eax
    add $4, %edi
    loop 2b
    test %eax, %eax
    jnz 1f
    mov $text, %esi
    mov $text_end - text, %ecx
    mov $0xe9, %dx
    rep outsb
    mov $0x604, %dx
    mov $0x2000, %ax
    out %ax, %dx
1:  cli
    hlt
    jmp 1b
text: .ascii "kludge ok\n"
text_end:
load_end = .
bss_end = . + 0x4000
