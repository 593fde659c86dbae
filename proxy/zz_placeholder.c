/* SPDX-License-Identifier: MIT */
typedef int proxy_placeholder;
