/* What happens when: sockets, timers, and threads for what may wait for the volume. All but their jobs is the loop's. */

#include "service.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* The kernel's events are packed there, which tcc does not read in the header. */
#ifdef __x86_64__
#pragma pack(push, 4)
#endif
#include <sys/epoll.h>
#ifdef __x86_64__
#pragma pack(pop)
typedef char is_packed[sizeof(struct epoll_event) == 12 ? 1 : -1];
#endif

#define STACK_BYTES (256 << 10)
#define MAX_EVENTS 64

static int watched = -1;
static watch woken;
static pthread_mutex_t done_lock = PTHREAD_MUTEX_INITIALIZER;
static queue jobs_done;
static timer *timers;
static bool comes_again;

thread disk, beside, looks, reader;

void loop_wake(void) {
	uint64_t one = 1;
	while (write(woken.file, &one, sizeof one) < 0 && errno == EINTR) continue;
}

static void *work_off(void *context) {
	thread *by = context;
	for (;;) {
		job *next;
		bool has_end;
		pthread_mutex_lock(&by->lock);
		while ((next = queue_taken(&by->jobs)) == NULL) pthread_cond_wait(&by->filled, &by->lock);
		pthread_mutex_unlock(&by->lock);
		/* One without an end may free itself. */
		has_end = next->done != NULL;
		next->run(next);
		if (!has_end) continue;
		pthread_mutex_lock(&done_lock);
		queue_append(&jobs_done, next);
		pthread_mutex_unlock(&done_lock);
		loop_wake();
	}
	return NULL;
}

void thread_begin(thread *made) {
	pthread_attr_t attributes;
	pthread_t started;
	/* What tcc makes does not say that its stack holds no program, and the C library would make one that may; the service's unit
	 * forbids that. */
	void *stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	pthread_mutex_init(&made->lock, NULL);
	pthread_cond_init(&made->filled, NULL);
	pthread_attr_init(&attributes);
	if (stack == MAP_FAILED || pthread_attr_setstack(&attributes, stack, STACK_BYTES) != 0
		|| pthread_create(&started, &attributes, work_off, made) != 0) abort();
	pthread_attr_destroy(&attributes);
}

void thread_do(thread *by, job *work) {
	pthread_mutex_lock(&by->lock);
	queue_append(&by->jobs, work);
	pthread_cond_signal(&by->filled);
	pthread_mutex_unlock(&by->lock);
}

static void end_jobs(watch *at, uint32_t events) {
	queue ended;
	uint64_t count;
	job *next;
	(void)events;
	if (read(at->file, &count, sizeof count) < 0) return;
	pthread_mutex_lock(&done_lock);
	ended = jobs_done;
	jobs_done = (queue){0};
	pthread_mutex_unlock(&done_lock);
	while ((next = queue_taken(&ended)) != NULL) next->done(next);
}

void loop_watch(watch *made, int file, uint32_t events) {
	struct epoll_event wanted = {.events = events, .data = {.ptr = made}};
	made->file = file;
	if (epoll_ctl(watched, EPOLL_CTL_ADD, file, &wanted) != 0) abort();
}

void loop_change(watch *of, uint32_t events) {
	struct epoll_event wanted = {.events = events, .data = {.ptr = of}};
	if (epoll_ctl(watched, EPOLL_CTL_MOD, of->file, &wanted) != 0) abort();
}

void loop_leave(watch *of) {
	if (epoll_ctl(watched, EPOLL_CTL_DEL, of->file, NULL) != 0) abort();
}

void timer_set(timer *which, double seconds) {
	which->at = monotonic_seconds() + seconds;
	if (which->is_set) return;
	which->is_set = true;
	which->next = timers;
	timers = which;
}

void timer_stop(timer *which) {
	timer **at = &timers;
	if (!which->is_set) return;
	while (*at != which) at = &(*at)->next;
	*at = which->next;
	which->is_set = false;
}

static void fire_timers(void) {
	double now = monotonic_seconds();
	timer *due;
	do {
		for (due = timers; due != NULL && due->at > now; due = due->next) continue;
		if (due == NULL) return;
		timer_stop(due);
		due->fire(due);
	} while (true);
}

static int milliseconds_left(void) {
	double left = 1e3;
	if (comes_again) return 0;
	for (const timer *each = timers; each != NULL; each = each->next)
		if (each->at - monotonic_seconds() < left) left = each->at - monotonic_seconds();
	/* Not a moment too early, or it would turn in vain. */
	return left <= 0 ? 0 : (int)(left * 1000) + 1;
}

void loop_again(void) { comes_again = true; }

void loop_begin(void) {
	watched = epoll_create1(EPOLL_CLOEXEC);
	woken.ready = end_jobs;
	loop_watch(&woken, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), EPOLLIN);
}

#ifdef TELL_WORK
/* For scripts/bench log: each piece of work for which all others wait, in seconds of a processor. */
static void tell_work(void) {
	static double before;
	struct timespec used;
	double now;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
	now = used.tv_sec + used.tv_nsec / 1e9;
	if (now - before > 0.002) {
		printf("%.6f\n", now - before);
		fflush(stdout);
	}
	before = now;
}
#endif

void loop_run(void (*turn)(void)) {
	struct epoll_event found[MAX_EVENTS];
	for (;;) {
		int count = epoll_wait(watched, found, MAX_EVENTS, milliseconds_left());
		comes_again = false;
		for (int i = 0; i < count; i++) {
			watch *ready = found[i].data.ptr;
			ready->ready(ready, found[i].events);
		}
		fire_timers();
		turn();
#ifdef TELL_WORK
		tell_work();
#endif
	}
}
