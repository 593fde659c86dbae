/* SPDX-License-Identifier: MIT */
typedef int content_placeholder;
