/* sources: src/worker/rate.c */
/*
 * rate_test.c
 *	  That what is counted for one person is counted, within its period, and is not
 *	  forgotten because of other things that happen to the same person meanwhile.
 */
#include "postgres_fe.h"

#include "worker/rate.h"
#include "tap.h"

#define PERIOD 60000 /* ms */
#define MOST 20
#define NAMES 100

/* How often those of NAMES were counted wrongly that were counted in turn, MOST times each */
static int
forgotten(const char *app_user, TimestampTz now)
{
	int wrong = 0;

	for (int n = 1; n <= MOST; n++)
		for (int i = 0; i < NAMES; i++)
		{
			char name[32];

			snprintf(name, sizeof(name), "name %d", i);
			wrong += rate_count("forced", app_user, "connector", name, PERIOD, now + n) != n;
		}
	return wrong;
}

int
main(void)
{
	TimestampTz now = INT64CONST(800000000000000);
	TimestampTz later = now + PERIOD * INT64CONST(1000);
	int lost = 0;

	ok(rate_of("refused", "alice", "one", "", PERIOD, now) == 0, "nothing has happened");
	for (int n = 1; n <= MOST; n++)
		ok(rate_count("refused", "alice", "one", "", PERIOD, now) == n, "it happened %d times", n);
	ok(rate_of("refused", "alice", "one", "", PERIOD, later - 1) == MOST,
	   "to the end of the period");
	ok(rate_of("refused", "alice", "one", "", PERIOD, later) == 0, "and no longer");
	ok(rate_of("refused", "alice", "one", "", PERIOD, now - 1) == 0,
	   "nor when the clock was put back");
	ok(rate_count("refused", "alice", "one", "", PERIOD, later) == 1, "then it counts anew");
	ok(rate_of("refused", "bob", "one", "", PERIOD, later) == 0, "another person's is another");
	ok(rate_of("refused", "alice", "two", "", PERIOD, later) == 0, "at another connector too");
	ok(rate_of("forced", "alice", "one", "", PERIOD, later) == 0, "and of another kind");
	ok(rate_of("refused", "aliceone", "", "", PERIOD, later) == 0, "names do not run together");

	/* of a hundred names of one person some would share a place of 4096 */
	for (int i = 0; i < 20; i++)
	{
		char app_user[32];

		snprintf(app_user, sizeof(app_user), "mallory %d", i);
		lost += forgotten(app_user, later * (i + 2));
	}
	ok(lost == 0, "a person's connections in turn: %d of %d were counted anew", lost,
	   20 * NAMES * MOST);

	/* one that is counted often, and three thousand others that are counted once */
	lost = 0;
	for (int i = 0; i < 20; i++)
	{
		char app_user[32];
		TimestampTz start = later * (i + 30);

		snprintf(app_user, sizeof(app_user), "mallory %d", i);
		for (int n = 0; n < 60; n++)
			rate_count("refused", app_user, "connector", "", PERIOD, start);
		for (int n = 0; n < 3000; n++)
		{
			char name[32];

			snprintf(name, sizeof(name), "name %d", n);
			rate_count("forced", app_user, "connector", name, PERIOD, start);
		}
		lost += rate_of("refused", app_user, "connector", "", PERIOD, start) != 60;
	}
	ok(lost == 0, "what happened often is not forgotten for what happened once: %d of 20 were",
	   lost);
	return tap_done();
}
