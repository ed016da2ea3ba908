/* SPDX-License-Identifier: Apache-2.0 */
/* notify: sd_notify(3) is one datagram of KEY=VALUE lines to $NOTIFY_SOCKET, so
 * libsystemd is not needed for it. '@' in front stands for the abstract namespace. */
#include "sys/notify.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

int notify_send(const char *fmt, ...)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	const char *path = getenv("NOTIFY_SOCKET");
	size_t len = path != NULL ? strlen(path) : 0;
	char msg[512];
	struct timespec ts;
	ssize_t sent;
	va_list ap;
	int n, fd;

	if (len == 0)
		return 1;
	if (len >= sizeof(sa.sun_path))
		return -ENAMETOOLONG;
	memcpy(sa.sun_path, path, len);
	if (sa.sun_path[0] == '@')
		sa.sun_path[0] = '\0';
	va_start(ap, fmt);
	n = vsnprintf(msg, sizeof(msg) - 64, fmt, ap);
	va_end(ap);
	if (n < 0)
		return -EINVAL;
	n = n >= (int)sizeof(msg) - 64 ? (int)sizeof(msg) - 65 : n;
	if (strstr(msg, "RELOADING=1") != NULL && clock_gettime(CLOCK_MONOTONIC, &ts) == 0)
		n += snprintf(msg + n, sizeof(msg) - (size_t)n, "\nMONOTONIC_USEC=%llu",
			      (unsigned long long)ts.tv_sec * 1000000ULL + (unsigned long long)ts.tv_nsec / 1000);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	sent = sendto(fd, msg, (size_t)n, MSG_NOSIGNAL, (struct sockaddr *)&sa,
		      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len));
	n = sent < 0 ? -errno : 0;
	(void)close(fd);
	return n;
}

usec_t notify_watchdog(void)
{
	const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
	unsigned long long v;
	char *end;

	if (usec == NULL || (pid != NULL && strtoll(pid, NULL, 10) != (long long)getpid()))
		return USEC_INFINITY;
	errno = 0;
	v = strtoull(usec, &end, 10);
	return errno != 0 || end == usec || *end != '\0' || v < 2 ? USEC_INFINITY : v / 2;
}
