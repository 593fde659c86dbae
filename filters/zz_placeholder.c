/* SPDX-License-Identifier: MIT */
typedef int filters_placeholder;
