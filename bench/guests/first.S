# A 32-bit kernel, by PVH or multiboot, whose first act is the mark: OUT to port 0x2f0.
# With HOLD it then halts for ever (for memory measurements), otherwise the machine is left
# through the debug-exit port.

#define MARK_PORT 0x2f0
#define DEBUG_EXIT 0x501
#define MULTIBOOT_MAGIC 0x1badb002

    .section .multiboot, "a"
    .long MULTIBOOT_MAGIC, 0, -MULTIBOOT_MAGIC

    # XEN_ELFNOTE_PHYS32_ENTRY
    .section .note.pvh, "a", @note
    .long 4, 4, 18
    .asciz "Xen"
    .long start

    .text
    .code32
    .globl start
start:
    movw $MARK_PORT, %dx
    outb %al, %dx
#ifndef HOLD
    movw $DEBUG_EXIT, %dx
    xorl %eax, %eax
    outb %al, %dx
#endif
1:  hlt
    jmp 1b
