/*
 * installation.h
 *	  Whose data this database holds: the row.  What follows from it is adoption.h's.
 */
#ifndef APPUSER_CONNECTORS_STORE_INSTALLATION_H
#define APPUSER_CONNECTORS_STORE_INSTALLATION_H

#include "access/xlogdefs.h"
#include "datatype/timestamp.h"
#include "utils/uuid.h"

typedef struct Installation
{
	bool found;
	pg_uuid_t id;
	uint64 system_identifier;
	Oid database;
	TimeLineID timeline;
	TimestampTz adopted_at;
	bytea *seal;
	bool witnessed; /* the data was brought here by nobody but us: see installation_witness */
} Installation;

/* The id that is part of all associated data; raises UC008 when missing. */
extern const pg_uuid_t *installation_id(void);

/* Reads it anew next time: what it was used for did not open. */
extern void installation_forget(void);

/*
 * Makes the row if there is none: at first use, not by CREATE EXTENSION.  True: made,
 * and still to be sealed.
 */
extern bool installation_ensure(void);

extern Installation store_read_installation(void);

/* Writes every column but the id, and the witness. */
extern void store_update_installation(const Installation *row);

/* Takes the witness away: from when this commits on the database is a copy. */
extern void store_delete_installation_witness(void);

#endif
