// mlos-shepherd: starts jobs, stays with them, and writes down how they end.
int main(void)
{
    return 64;
}
