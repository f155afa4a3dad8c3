/* What the writer is asked. */

#include "service.h"
#include <stdlib.h>
#include <string.h>

static source *own;   /* workers of this node */

static void answer(const answer_to *to, const bytes *body) {
	if (to->from->is_over) return;
	if (to->from->to == NULL) node_answered(to->channel, body->at, body->length);
	else connection_send(to->from->to, to->channel, body->at, body->length);
}

static void refuse(const answer_to *to, const char *why) {
	static bytes body;
	body.length = 0;
	bytes_add_number(&body, IS_REFUSED, 1);
	bytes_add(&body, why, strlen(why));
	answer(to, &body);
}

static void say_stored(const answer_to *to, uint64_t version) {
	static bytes body;
	body.length = 0;
	bytes_add_number(&body, IS_STORED, 1);
	bytes_add_number(&body, version, 8);
	answer(to, &body);
}

static void say_held(const answer_to *to, const entry *known, uint64_t time) {
	static bytes body;
	bool is_there = known != NULL && known->kind != ENDED;
	body.length = 0;
	bytes_add_number(&body, IS_HELD, 1);
	bytes_add_number(&body, is_there ? known->kind : ENDED, 1);
	bytes_add_number(&body, known != NULL ? known->version : 0, 8);
	bytes_add_number(&body, is_there && time > known->changed ? time - known->changed : 0, 8);
	bytes_add_number(&body, is_there ? known->lifetime : 0, 4);
	if (is_there) bytes_add(&body, known->text + known->id_length, known->length);
	answer(to, &body);
}

uint64_t take_version(void) { return writing.next_version++; }

/* Changes. */

static update *update_made(const record *known) {
	update *made = allocated(sizeof *made + known->id_length + known->length);
	*made = (update){.known = *known};
	made->known.version = take_version();
	made->known.changed = log_now();
	memcpy(made->text, known->id, known->id_length);
	memcpy(made->text + known->id_length, known->data, known->length);
	made->known.id = made->text;
	made->known.data = made->text + known->id_length;
	queue_append(&writing.updates, made);
	wake_writer();
	return made;
}

static void update_tell(update *of, source *from, uint32_t channel) {
	of->told = realloc(of->told, (of->told_count + 1) * sizeof *of->told);
	if (of->told == NULL) abort();
	of->told[of->told_count++] = (answer_to){from, channel};
	from->references++;
}

void update_settle(update *of, bool is_stored, uint64_t version) {
	turn *by = of->told_count > 0 ? turn_of(of->known.id, of->known.id_length) : NULL;
	for (size_t i = 0; is_stored && i < of->told_count; i++) say_stored(&of->told[i], version);
	if (by != NULL && by->storing == of) turn_stored(by);
	for (size_t i = 0; i < of->told_count; i++) source_drop(of->told[i].from);
	free(of->told);
	free(of);
}

static bool is_request_of(const entry *known, const unsigned char *request) {
	static const unsigned char nobodys[REQUEST_SIZE];
	return known != NULL && memcmp(known->request, request, REQUEST_SIZE) == 0 && memcmp(request, nobodys, REQUEST_SIZE) != 0;
}

void update_again(update *of) {
	entry *known = state_get(&sessions, of->known.id, of->known.id_length);
	if (of->told_count == 0) {
		/* What has come since may be newer. A session whose life is over is found again. */
		update_settle(of, false, 0);
	} else if (is_request_of(known, of->known.request)) {
		update_settle(of, true, known->version);
	} else {
		of->known.version = take_version();
		queue_append(&writing.updates, of);
	}
}

void update_end(const entry *over) {
	update_made(&(record){.kind = ENDED, .lifetime = ENDED_SECONDS, .id_length = over->id_length, .id = over->text, .data = over->text});
}

/* Whether what a worker has read is what there is. An id that ended long ago is unknown, whoever still remembers it. */
static bool is_expected(const entry *known, uint64_t expected) {
	if (known == NULL) return expected == 0;
	return expected == known->version || (expected == 0 && is_forgotten(known, log_now()));
}

static const char *objection(const turn *of, source *from, uint32_t channel, const store_request *asked) {
	const entry *known = state_get(&sessions, asked->known.id, asked->known.id_length);
	if (!is_held_by(of, from, channel)) return "another request has its turn";
	if (of->storing != NULL) return "it is being stored";
	if (!is_expected(known, asked->expected)) return "another request has changed it";
	if (writing.is_full && known == NULL && asked->known.kind == STORED) return "there is no room for it";
	return NULL;
}

static void store(source *from, uint32_t channel, store_request *asked) {
	record *wanted = &asked->known;
	answer_to to = {from, channel};
	const entry *known = state_get(&sessions, wanted->id, wanted->id_length);
	turn *of = turn_of(wanted->id, wanted->id_length);
	const char *why;
	if (is_request_of(known, wanted->request)) {
		/* It is done, whoever has the turn by now. */
		say_stored(&to, known->version);
		return;
	}
	if (of != NULL && of->storing != NULL && memcmp(of->storing->known.request, wanted->request, REQUEST_SIZE) == 0) {
		/* It is under way; its node's connection has ended meanwhile. */
		update_tell(of->storing, from, channel);
		return;
	}
	/* Its turn was of another term, or of a service that was started anew; what it has read decides. */
	if (of == NULL) of = turn_give(from, channel, wanted->id, wanted->id_length);
	if ((why = objection(of, from, channel, asked)) != NULL) {
		refuse(&to, why);
		return;
	}
	if (wanted->kind == ENDED) wanted->lifetime = ENDED_SECONDS;
	of->storing = update_made(wanted);
	update_tell(of->storing, from, channel);
}

/* Turns. */

void turn_granted(claim *to) {
	question *asked = allocated(sizeof *asked);
	*asked = (question){.to = {to->from, to->channel}, .id_length = to->turn->id_length};
	memcpy(asked->id, to->turn->id, asked->id_length);
	to->from->references++;
	if (has_lease()) {
		question_answer(asked);
		return;
	}
	queue_append(&writing.questions, asked);
	wake_writer();
}

/* Tells the one who has the turn what is stored, as of a moment in which this service was the writer. */
void question_answer(question *asked) {
	const turn *of = turn_of(asked->id, asked->id_length);
	const entry *known = state_get(&sessions, asked->id, asked->id_length);
	uint64_t time = log_now();
	if (of != NULL && is_held_by(of, asked->to.from, asked->to.channel)) {
		if (known != NULL && known->kind != ENDED && entry_is_over(known, time)) {
			/* It is over when that is in the log. */
			update_end(known);
			queue_append(&writing.questions, asked);
			return;
		}
		say_held(&asked->to, known != NULL && is_forgotten(known, time) ? NULL : known, time);
	}
	source_drop(asked->to.from);
	free(asked);
}

static void take(source *from, uint32_t channel, const take_request *asked) {
	const turn *of = turn_of(asked->id, asked->id_length);
	if (of != NULL && !is_held_by(of, from, channel) && from->waiting >= asked->places)
		refuse(&(answer_to){from, channel}, "too many requests wait for sessions on this node");
	else turn_ask(from, channel, asked);
}

static void give_up(claim *by) {
	answer_to to = {by->from, by->channel};
	turn_give_back(by);
	refuse(&to, "another request has held its lock for too long");
}

static void look_at_waiting(timer *fired) {
	turns_look(give_up);
	if (waiting_count > 0) timer_set(fired, 0.05);
}

static timer waiting = {.fire = look_at_waiting};

static void release(source *from, uint32_t channel, const unsigned char *id, size_t length) {
	claim *by = claim_of(from, channel, id, length);
	if (by != NULL) turn_give_back(by);
}

bool writer_handle(source *from, uint32_t channel, const unsigned char *body, size_t length) {
	take_request taken;
	store_request stored;
	if (from == NULL) from = own != NULL ? own : (own = source_made(NULL));
	switch (body[0]) {
		case TAKE:
			if (!read_take(body, length, &taken)) return false;
			take(from, channel, &taken);
			if (waiting_count > 0 && !waiting.is_set) timer_set(&waiting, 0.05);
			return true;
		case STORE:
			if (!read_store(body, length, &stored)) return false;
			store(from, channel, &stored);
			return true;
		case RELEASE:
			release(from, channel, body + 1, length - 1);
			return true;
		case GONE:
			turns_leave(from, channel);
			return true;
		case RECLAIM:
			if (length < 9 || !is_id(length - 9)) return false;
			if (turn_of(body + 9, length - 9) == NULL) turn_give(from, channel, body + 9, length - 9);
			return true;
		default:
			refuse(&(answer_to){from, channel}, "its node's service says what the writer does not know");
			return true;
	}
}

void writer_leave(source *from) {
	from->is_over = true;
	turns_leave_all(from);
	source_drop(from);
}

void requests_end(void) {
	update *changed;
	question *asked;
	while ((changed = queue_taken(&writing.updates)) != NULL) update_settle(changed, false, 0);
	while ((asked = queue_taken(&writing.questions)) != NULL) {
		source_drop(asked->to.from);
		free(asked);
	}
	turns_end();
	timer_stop(&waiting);
	if (own != NULL) source_drop(own);
	own = NULL;
}
