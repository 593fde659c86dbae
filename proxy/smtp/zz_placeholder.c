/* SPDX-License-Identifier: MIT */
typedef int smtp_placeholder;
