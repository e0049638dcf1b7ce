{ pkgs, self }: { }
