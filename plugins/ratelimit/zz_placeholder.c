/* SPDX-License-Identifier: MIT */
typedef int ratelimit_placeholder;
