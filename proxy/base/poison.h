/* SPDX-License-Identifier: MIT */
/* Included before every file by the build: functions that trust a terminator, or hide an overflow or an
 * error, do not compile. The headers that declare them come first, so that their own text is not hit. */
#ifndef BASE_POISON_H
#define BASE_POISON_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* With clang, glibc's fortified headers define these as macros. */
#undef sprintf
#undef vsprintf

#pragma GCC poison strcpy strcat sprintf vsprintf strtok atoi atol atof gets

#endif
