/* Who a program is run as: "name", "name:group", "uid" or "uid:gid". */
#define _GNU_SOURCE
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent.h"

static bool parse_id(const char *text, id_t *id) {
    unsigned long number;
    char *end;

    if (*text < '0' || *text > '9') return false;
    errno = 0;
    number = strtoul(text, &end, 10);
    if (errno != 0 || *end != '\0' || number >= 0xffffffffUL) return false;
    *id = (id_t)number;
    return true;
}

static bool find_group(const char *text, gid_t *gid) {
    const struct group *group = getgrnam(text);

    if (!group) return parse_id(text, gid);
    *gid = group->gr_gid;
    return true;
}

/*
 * Fills `user`; without a text it is who the agent is. A number need not be in /etc/passwd: its
 * group is then the same number. False for somebody who is not there.
 */
bool find_user(const char *text, struct user *user) {
    char name[64] = "";
    const char *colon = text ? strchr(text, ':') : NULL;
    const struct passwd *entry;
    size_t length = !text ? 0 : colon ? (size_t)(colon - text) : strlen(text);
    uid_t uid = getuid();

    if (length >= sizeof name) return false;
    if (text) memcpy(name, text, length);
    *user = (struct user){.given = text != NULL, .home = "/", .shell = "/bin/sh"};
    entry = text && *name ? getpwnam(name) : NULL;
    if (!entry) {
        if (text && !parse_id(name, &uid)) return false;
        entry = getpwuid(uid);
    }
    user->uid = entry ? entry->pw_uid : uid;
    user->gid = entry ? entry->pw_gid : (gid_t)uid;
    if (entry) {
        snprintf(user->name, sizeof user->name, "%s", entry->pw_name);
        snprintf(user->home, sizeof user->home, "%s", entry->pw_dir);
        if (*entry->pw_shell) snprintf(user->shell, sizeof user->shell, "%s", entry->pw_shell);
    }
    return !colon || find_group(colon + 1, &user->gid);
}

/* Becomes the user, with all its groups. -1 and an errno on failure. */
int become_user(const struct user *user) {
    if (!user->given) return 0;
    if ((*user->name ? initgroups(user->name, user->gid) : setgroups(0, NULL)) < 0) return -1;
    return setgid(user->gid) < 0 || setuid(user->uid) < 0 ? -1 : 0;
}
