"""What every source shares: readers, faults and their repairs, filters, writing."""
