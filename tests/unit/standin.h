/* SPDX-License-Identifier: Apache-2.0 */
/* A stand-in for systemd: serves the three calls that the steward makes, each connection
 * in a process of its own. What its units weigh is in memory shared with the test. */
#pragma once

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

struct standin {                /* what the stand-in and the test both see */
	uint64_t weight[2];             /* of g_units */
	int slow, sets;
	char last[64];
	int runtime;
};

static struct standin *g;
static const char *g_units[2];

static int which(const char *unit)
{
	for (int i = 0; i < 2; i++)
		if (g_units[i] != NULL && strcmp(unit, g_units[i]) == 0)
			return i;
	return -1;
}

static int on_message(sd_bus_message *m, void *data, sd_bus_error *error)
{
	const char *member = sd_bus_message_get_member(m), *path = sd_bus_message_get_path(m), *unit, *property, *interface;
	char *name = NULL;
	sd_bus_message *reply = NULL;
	uint8_t type;
	int r;

	if (sd_bus_message_get_type(m, &type) < 0 || type != SD_BUS_MESSAGE_METHOD_CALL)
		return 0;
	if (g->slow)
		usleep(3500000);
	if (strcmp(member, "SetUnitProperties") == 0) {
		int runtime;
		uint64_t v;

		r = sd_bus_message_read(m, "sb", &unit, &runtime);
		if (r >= 0)
			r = sd_bus_message_read(m, "a(sv)", 1, &property, "t", &v);
		if (r < 0 || which(unit) < 0)
			return sd_bus_reply_method_errorf(m, "org.freedesktop.systemd1.NoSuchUnit", "no");
		g->weight[which(unit)] = v;
		g->sets++;
		g->runtime = runtime;
		snprintf(g->last, sizeof(g->last), "%s %s", unit, property);
		return sd_bus_reply_method_return(m, NULL);
	}
	if (strcmp(member, "Get") == 0 && sd_bus_path_decode(path, "/org/freedesktop/systemd1/unit", &name) > 0) {
		int w = which(name);

		r = sd_bus_message_read(m, "ss", &interface, &property);
		if (r >= 0)
			r = sd_bus_message_new_method_return(m, &reply);
		if (r >= 0 && strcmp(property, "LoadState") == 0)
			r = sd_bus_message_append(reply, "v", "s", w < 0 ? "not-found" : "loaded");
		else if (r >= 0)
			r = sd_bus_message_append(reply, "v", "t", g->weight[w < 0 ? 0 : w]);
		if (r >= 0)
			r = sd_bus_send(NULL, reply, NULL);
		sd_bus_message_unref(reply);
		free(name);
		return r < 0 ? r : 1;
	}
	return 0;
}

static _Noreturn void serve(int listener)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGCHLD, SIG_IGN);
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		sd_id128_t id = SD_ID128_MAKE(01,02,03,04,05,06,07,08,09,0a,0b,0c,0d,0e,0f,10);
		sd_bus *bus = NULL;

		if (fd < 0 || fork() != 0) {
			close(fd);
			continue;
		}
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (sd_bus_new(&bus) < 0 || sd_bus_set_fd(bus, fd, fd) < 0 || sd_bus_set_server(bus, 1, id) < 0 || sd_bus_start(bus) < 0 ||
		    sd_bus_add_filter(bus, NULL, on_message, NULL) < 0)
			_exit(1);
		for (;;) {
			int r = sd_bus_process(bus, NULL);

			if (r < 0)
				_exit(0);
			if (r == 0 && sd_bus_wait(bus, UINT64_MAX) < 0)
				_exit(0);
		}
	}
}
