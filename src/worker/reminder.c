/*
 * reminder.c
 *	  Telling people, by an event, that their grant is about to end.
 *
 * Once for each end, by whoever takes the reminder out of the row.  One that cannot be
 * taken, because somebody holds the row or has put a trigger there, keeps nobody else's
 * back.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "utils/timestamp.h"

#include "store/adoption.h"
#include "store/event.h"
#include "store/reminder.h"
#include "worker/reminder.h"
#include "worker/transaction.h"

#define BATCH 100
#define FAILED_PAUSE (10 * 60 * 1000) /* ms */

/* Those that could not be taken, for a while; a new one takes the place of the oldest. */
static struct
{
	uint64 hash;
	TimestampTz at;
} failed[256];
static int next_failed = 0;

static uint64
hash_of(const ConnectionKey *key)
{
	const char *const texts[] = {key->app_user, key->connector_id, key->connection_name};
	uint64 hash = 0;

	for (int i = 0; i < (int) lengthof(texts); i++)
		hash = hash_bytes_extended((const unsigned char *) texts[i], strlen(texts[i]), hash);
	return hash;
}

static DueVerdict
verdict(const ConnectionKey *key)
{
	uint64 hash = hash_of(key);
	TimestampTz now = GetCurrentTimestamp();

	for (int i = 0; i < (int) lengthof(failed); i++)
		if (failed[i].hash == hash &&
			!TimestampDifferenceExceeds(failed[i].at, now, FAILED_PAUSE) && failed[i].at <= now)
			return DUE_LEAVE;
	return DUE_TAKE;
}

typedef struct Sending
{
	const ConnectionKey *key;
	bool taken;
} Sending;

static void
send_one(void *arg)
{
	Sending *sending = arg;
	const ConnectionKey *key = sending->key;
	TimestampTz reconnect_by;

	sending->taken = store_take_reminder(key, GetCurrentTimestamp(), &reconnect_by);
	if (sending->taken)
		event_record(key->app_user, key->connector_id, key->connection_name, "reconnect_soon",
					 psprintf("the grant ends at %s", timestamptz_to_str(reconnect_by)));
}

bool
reminders_send(void)
{
	int count;
	int sent = 0;
	bool more;
	ConnectionKey *keys;

	/* those of a copy are the original's to send */
	if (installation_state() != INSTALLATION_OURS)
		return false;
	keys = store_due_reminders(GetCurrentTimestamp(), BATCH, verdict, &count, &more);
	for (int i = 0; i < count; i++)
	{
		Sending sending = {.key = &keys[i]};

		if (worker_try(send_one, &sending) && sending.taken)
			sent++;
		else
		{
			failed[next_failed].hash = hash_of(&keys[i]);
			failed[next_failed].at = GetCurrentTimestamp();
			next_failed = (next_failed + 1) % lengthof(failed);
		}
	}
	return more && sent > 0;
}
