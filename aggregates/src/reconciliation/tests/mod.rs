mod comparing;
mod faults;
mod runs_and_breaks;
mod years;
