/* SPDX-License-Identifier: MIT */
/* no_symbol: a shared object that is no plugin at all. */
int no_symbol_here(void);

int no_symbol_here(void)
{
    return 1;
}
