/* What waits, first come first served. */

#include "service.h"

void queue_append(queue *to, void *added) {
	queued *last = added;
	last->next = NULL;
	if (to->first == NULL) to->first = last;
	else to->last->next = last;
	to->last = last;
	to->count++;
}

void *queue_taken(queue *from) {
	queued *first = from->first;
	if (first == NULL) return NULL;
	from->first = first->next;
	from->count--;
	return first;
}

void queue_move(queue *from, queue *to) {
	queued *each;
	while ((each = queue_taken(from)) != NULL) queue_append(to, each);
}
