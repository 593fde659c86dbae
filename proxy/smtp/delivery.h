/* SPDX-License-Identifier: MIT */
/* Values of the extensions that say when, and how urgently, a message is to be delivered: what stands behind
 * their keywords in EHLO, and behind their parameters in MAIL. Pure. */
#ifndef SMTP_DELIVERY_H
#define SMTP_DELIVERY_H

#include "base/attr.h"
#include "base/span.h"

/* Parameters of MAIL. */
MUST_CHECK bool delivery_by_ok(struct span v);       /* BY (RFC 2852 4): "120;R", "-30;NT" */
MUST_CHECK bool delivery_priority_ok(struct span v); /* MT-PRIORITY (RFC 6710): -9 to 9 */
MUST_CHECK bool delivery_seconds_ok(struct span v);  /* HOLDFOR (RFC 4865): 1 to 999999999 */
MUST_CHECK bool delivery_time_ok(struct span v);     /* HOLDUNTIL (RFC 4865): date-time of RFC 3339 5.6 */

/* What may follow the keyword in EHLO. */
MUST_CHECK bool delivery_by_offer_ok(struct span v);       /* "", "240", "240,token" */
MUST_CHECK bool delivery_priority_offer_ok(struct span v); /* "", or the name of a profile: "STANAG4406" */
MUST_CHECK bool delivery_hold_offer_ok(struct span v);     /* "86400 2030-01-01T00:00:00Z" */

#endif
