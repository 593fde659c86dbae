/* SPDX-License-Identifier: MIT */
typedef int session_placeholder;
