# A 32-bit kernel, by PVH or multiboot, that makes exits and nothing else. Interrupts stay off.
#
# Marks go to the debug console (port 0xe9) at the start and at the end of each part, so that
# whoever reads the console can take its time; they are bytes no message holds:
#   a1 a2  ITERATIONS x OUT to a port nobody has
#   b1 b2  ITERATIONS x (OUT, IN) on the scratch register of the first serial port
#   c1 c2  ITERATIONS x store to an address nobody has
# Then the machine is left through the debug-exit port (0x501).
# Each part runs WARMUP iterations before its mark: a VMM with a just-in-time compiler gets to
# compile, every VMM gets its caches filled.

#ifndef ITERATIONS
#define ITERATIONS 50000
#endif
#ifndef WARMUP
#define WARMUP 5000
#endif

#define DEBUG_CONSOLE 0xe9
#define DEBUG_EXIT 0x501
#define UNUSED_PORT 0x2f0
#define SCRATCH 0x3ff
#define UNUSED_ADDRESS 0xd0000000

#define MULTIBOOT_MAGIC 0x1badb002

    .section .multiboot, "a"
    .long MULTIBOOT_MAGIC, 0, -MULTIBOOT_MAGIC

    # XEN_ELFNOTE_PHYS32_ENTRY
    .section .note.pvh, "a", @note
    .long 4, 4, 18
    .asciz "Xen"
    .long start

    .macro mark byte
    movb $\byte, %al
    outb %al, $DEBUG_CONSOLE
    .endm

    .text
    .code32
    .globl start
start:
    movw $UNUSED_PORT, %dx
    movl $WARMUP, %ecx
1:  outb %al, %dx
    decl %ecx
    jnz 1b
    mark 0xa1
    movl $ITERATIONS, %ecx
1:  outb %al, %dx
    decl %ecx
    jnz 1b

    mark 0xa2
    movw $SCRATCH, %dx
    movl $WARMUP, %ecx
1:  outb %al, %dx
    inb %dx, %al
    decl %ecx
    jnz 1b
    mark 0xb1
    movl $ITERATIONS, %ecx
1:  outb %al, %dx
    inb %dx, %al
    decl %ecx
    jnz 1b

    mark 0xb2
    movl $UNUSED_ADDRESS, %edi
    movl $WARMUP, %ecx
1:  movl %ecx, (%edi)
    decl %ecx
    jnz 1b
    mark 0xc1
    movl $ITERATIONS, %ecx
1:  movl %ecx, (%edi)
    decl %ecx
    jnz 1b
    mark 0xc2

    # Time for the reader of the marks to look at this process before it ends.
    movw $UNUSED_PORT, %dx
    movl $WARMUP, %ecx
1:  outb %al, %dx
    decl %ecx
    jnz 1b

    movw $DEBUG_EXIT, %dx
    xorl %eax, %eax
    outb %al, %dx
2:  hlt
    jmp 2b
