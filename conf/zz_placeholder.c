/* SPDX-License-Identifier: MIT */
typedef int conf_placeholder;
