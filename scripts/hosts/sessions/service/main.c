/* The service as systemd starts it.
 *
 * Environment: FOLDER (where the volume is mounted), SOCKET (where PHP asks), NAME, ADDRESS, PORT, RANK (empty: it never
 * writes). */

#include "service.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define WATCHDOG_SECONDS 0.5

identity me;

static void tell_systemd(const char *text) {
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	const char *path = getenv("NOTIFY_SOCKET");
	int told;
	if (path == NULL || strlen(path) >= sizeof to.sun_path || (told = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) < 0) return;
	strcpy(to.sun_path, path);
	if (*path == '@') to.sun_path[0] = '\0';
	sendto(told, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&to, offsetof(struct sockaddr_un, sun_path) + strlen(path));
	close(told);
}

static void stay_alive(timer *fired) {
	tell_systemd("WATCHDOG=1");
	timer_set(fired, WATCHDOG_SECONDS);
}

static const char *setting(const char *name) {
	const char *value = getenv(name);
	if (value == NULL || strlen(value) >= NAME_SIZE - 32) {
		say("%s is not set, or too long", name);
		exit(2);
	}
	return value;
}

static void end_turn(void) {
	catch_up_turn();
	follow_turn();
	writer_turn();
	connections_flush();
}

int main(void) {
	static timer lives = {.fire = stay_alive};
	const char *rank = setting("RANK");
	signal(SIGPIPE, SIG_IGN);
	mount_point = setting("FOLDER");
	me = (identity){.name = setting("NAME"), .socket = setting("SOCKET"), .rank = *rank != '\0' ? atoi(rank) : -1};
	snprintf(me.address, sizeof me.address, "%s:%s", setting("ADDRESS"), setting("PORT"));
	state_begin(&sessions);
	loop_begin();
	thread_begin(&disk);
	thread_begin(&beside);
	thread_begin(&looks);
	thread_begin(&reader);
	node_listen(setting("ADDRESS"), setting("PORT"));
	tell_systemd("READY=1");
	stay_alive(&lives);
	node_begin();
	search_begin();
	loop_run(end_turn);
	return 0;
}
