/* A program on the test's root disk: says what it finds there. */
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *is_there(const char *path) {
    return access(path, F_OK) == 0 ? "yes" : "no";
}

int main(int argc, char **argv) {
    char text[64] = "";
    FILE *marker = fopen("/marker", "r");

    if (marker && fgets(text, sizeof text, marker)) fclose(marker);
    printf("pid=%d marker=%s proc=%s old=%s tmp=%s args=", getpid() == 1, text,
           is_there("/proc/self/stat"), is_there("/only-in-the-old-root"), is_there("/tmp/kept"));
    for (int i = 0; i < argc; i++) printf("%s%s", i ? "," : "", argv[i]);
    printf("\n");
    return 0;
}
