/*
 * lineage.h
 *	  Where this cluster's timeline comes from: the promotion of a standby, which goes
 *	  on with the primary's work, or a recovery from an archive, which makes a copy.
 */
#ifndef APPUSER_CONNECTORS_STORE_LINEAGE_H
#define APPUSER_CONNECTORS_STORE_LINEAGE_H

#include "access/xlogdefs.h"

/* For the postmaster, before recovery: remembers that there is one from an archive. */
extern void lineage_note_start(void);

/* For the launcher, once recovery has ended: remembers which timeline came of it. */
extern void lineage_settle(void);

/*
 * Has this cluster come from that timeline to its present one by nothing but promotions of
 * standbys?  Also true of the present one.  Not in recovery.  Raises no error: what cannot
 * be read is false.
 */
extern bool lineage_by_promotion(TimeLineID from);

#endif
