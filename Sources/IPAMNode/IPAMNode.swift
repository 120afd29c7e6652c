package enum IPAMNode {}
