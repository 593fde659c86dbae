/* SPDX-License-Identifier: MIT */
typedef int hello_placeholder;
