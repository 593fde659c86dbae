/* SPDX-License-Identifier: MIT */
typedef int net_placeholder;
