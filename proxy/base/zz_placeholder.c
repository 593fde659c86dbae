/* SPDX-License-Identifier: MIT */
typedef int base_placeholder;
