/* Which request has a session, and who waits for it: first come, first served. All turns end with the writer's term. */

#include "service.h"
#include <stdlib.h>
#include <string.h>

#define TURN_BUCKETS 4096
#define PEER_BUCKETS 256

/* One worker of PHP's, of a node, with all that he has or waits for. */
typedef struct peer {
	struct peer *next;
	uint32_t channel;
	claim *claims;
} peer;

size_t turn_count, waiting_count;
static turn *turns[TURN_BUCKETS];

source *source_made(connection *to) {
	source *made = allocated(sizeof *made);
	*made = (source){.to = to, .references = 1};
	return made;
}

void source_drop(source *of) {
	if (--of->references == 0) free(of);
}

static turn **place_of(const unsigned char *id, size_t length) {
	turn **at = &turns[hash_of(id, length) % TURN_BUCKETS];
	while (*at != NULL && ((*at)->id_length != length || memcmp((*at)->id, id, length) != 0)) at = &(*at)->next;
	return at;
}

turn *turn_of(const unsigned char *id, size_t length) { return *place_of(id, length); }

static peer **place_of_peer(source *from, uint32_t channel) {
	peer **at = &from->peers[channel % PEER_BUCKETS];
	while (*at != NULL && (*at)->channel != channel) at = &(*at)->next;
	return at;
}

static claim *claim_made(source *from, uint32_t channel, turn *on) {
	peer **at = place_of_peer(from, channel);
	claim *made = allocated(sizeof *made);
	if (*at == NULL) {
		*at = allocated(sizeof **at);
		**at = (peer){.channel = channel};
	}
	*made = (claim){.from = from, .channel = channel, .turn = on, .next_of_peer = (*at)->claims};
	(*at)->claims = made;
	return made;
}

static void claim_free(claim *gone) {
	peer **of = place_of_peer(gone->from, gone->channel), *empty;
	claim **at = &(*of)->claims;
	while (*at != gone) at = &(*at)->next_of_peer;
	*at = gone->next_of_peer;
	if ((*of)->claims == NULL) {
		empty = *of;
		*of = empty->next;
		free(empty);
	}
	free(gone);
}

bool is_held_by(const turn *of, const source *from, uint32_t channel) {
	return of->holder->from == from && of->holder->channel == channel;
}

claim *claim_of(source *from, uint32_t channel, const unsigned char *id, size_t length) {
	peer *by = *place_of_peer(from, channel);
	for (claim *each = by != NULL ? by->claims : NULL; each != NULL; each = each->next_of_peer)
		if (each->turn->id_length == length && memcmp(each->turn->id, id, length) == 0) return each;
	return NULL;
}

turn *turn_give(source *from, uint32_t channel, const unsigned char *id, size_t length) {
	turn *made = allocated(sizeof *made + length);
	*made = (turn){.id_length = length};
	memcpy(made->id, id, length);
	*place_of(id, length) = made;
	made->holder = claim_made(from, channel, made);
	turn_count++;
	return made;
}

static void wait_no_longer(claim *by) {
	turn *of = by->turn;
	*(by->previous != NULL ? &by->previous->next : &of->first) = by->next;
	*(by->next != NULL ? &by->next->previous : &of->last) = by->previous;
	by->is_waiting = false;
	by->from->waiting--;
	waiting_count--;
}

void turn_ask(source *from, uint32_t channel, const take_request *asked) {
	turn *of = turn_of(asked->id, asked->id_length);
	claim *by = claim_of(from, channel, asked->id, asked->id_length);
	if (of == NULL) of = turn_give(from, channel, asked->id, asked->id_length);
	if (is_held_by(of, from, channel)) {
		turn_granted(of->holder);
		return;
	}
	if (by != NULL) return;
	by = claim_made(from, channel, of);
	by->is_waiting = true;
	by->again = asked->wait / 1000.0;
	by->deadline = monotonic_seconds() + by->again;
	by->passed = of->passed;
	by->previous = of->last;
	*(of->last != NULL ? &of->last->next : &of->first) = by;
	of->last = by;
	from->waiting++;
	waiting_count++;
}

static void pass_on(turn *of) {
	claim *before = of->holder, *next = of->first;
	if (next == NULL) {
		turn **at = place_of(of->id, of->id_length);
		*at = of->next;
		turn_count--;
		claim_free(before);
		free(of);
		return;
	}
	wait_no_longer(next);
	claim_free(before);
	of->holder = next;
	of->passed++;
	of->is_given_back = false;
	turn_granted(next);
}

void turn_give_back(claim *by) {
	turn *of = by->turn;
	if (by->is_waiting) {
		wait_no_longer(by);
		claim_free(by);
	} else if (of->storing != NULL) {
		of->is_given_back = true;
	} else {
		pass_on(of);
	}
}

void turn_stored(turn *of) {
	of->storing = NULL;
	if (of->is_given_back) pass_on(of);
}

void turns_leave(source *from, uint32_t channel) {
	peer *by = *place_of_peer(from, channel);
	claim *next;
	for (claim *each = by != NULL ? by->claims : NULL; each != NULL; each = next) {
		next = each->next_of_peer;
		turn_give_back(each);
	}
}

void turns_leave_all(source *from) {
	for (int i = 0; i < PEER_BUCKETS; i++) {
		peer *next;
		for (peer *each = from->peers[i]; each != NULL; each = next) {
			next = each->next;
			turns_leave(from, each->channel);
		}
	}
}

void turns_look(void (*late)(claim *)) {
	double now = monotonic_seconds();
	if (waiting_count == 0) return;
	for (int i = 0; i < TURN_BUCKETS; i++)
		for (turn *each = turns[i]; each != NULL; each = each->next) {
			claim *next;
			for (claim *by = each->first; by != NULL; by = next) {
				next = by->next;
				if (by->deadline > now) continue;
				/* The others have their turns; his will come. */
				if (by->again > 0 && each->passed > by->passed) {
					by->deadline = now + by->again;
					by->again = 0;
				} else {
					late(by);
				}
			}
		}
}

void turns_end(void) {
	for (int i = 0; i < TURN_BUCKETS; i++)
		while (turns[i] != NULL) {
			turn *gone = turns[i];
			turns[i] = gone->next;
			while (gone->first != NULL) {
				claim *by = gone->first;
				wait_no_longer(by);
				claim_free(by);
			}
			claim_free(gone->holder);
			free(gone);
		}
	turn_count = 0;
}
