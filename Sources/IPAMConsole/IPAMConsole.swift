package enum IPAMConsole {}
